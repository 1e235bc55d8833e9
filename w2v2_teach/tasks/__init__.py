"""What is trained, on what, by which loss, and how it is measured."""
