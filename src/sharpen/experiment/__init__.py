"""From a request to a result: open everything, run the recipe, test once, measure the controls."""
