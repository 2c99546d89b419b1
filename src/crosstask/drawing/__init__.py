"""What a person sees: panels of every task, legends."""
