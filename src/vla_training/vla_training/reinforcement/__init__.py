"""Fine-tuning of a cloned policy by its own success in simulation."""
