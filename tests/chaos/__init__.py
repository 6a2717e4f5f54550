"""Random changes of the network and of memberships, against a model of what must be delivered and counted."""
