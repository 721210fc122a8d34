"""A recipe's whole path at a handful of items, with tiny random stand-ins for its models and servers."""
