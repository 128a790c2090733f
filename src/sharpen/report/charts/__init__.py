"""Charts as data: pure functions from records to Vega-Lite specs, each with a text and a table beside it."""
