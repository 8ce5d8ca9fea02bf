"""Pictures, comparisons and pages that show results."""
