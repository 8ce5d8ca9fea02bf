"""From files to batches: data sets, transforms, readers and loaders."""
