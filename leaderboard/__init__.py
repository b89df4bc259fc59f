"""From result bundles to a page that compares agents."""
