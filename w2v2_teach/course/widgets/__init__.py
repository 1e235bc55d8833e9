"""The explorers: views that a reader plays with. Each has a static twin, a picture that is there without a kernel."""
