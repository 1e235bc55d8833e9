"""The explorers: views that a reader plays with. Each has a static figure, a picture that is there without a kernel."""
