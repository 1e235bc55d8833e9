"""What only the notebooks need: display, figures, explorers, exercises."""
