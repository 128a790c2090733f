"""Where parallel and untrusted-to-finish work runs."""
