"""What a recipe will make and cost, before it is run."""
