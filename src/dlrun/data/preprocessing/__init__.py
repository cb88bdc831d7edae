"""From raw inputs to tensors: fitted on the training rows, applied again by predict."""
