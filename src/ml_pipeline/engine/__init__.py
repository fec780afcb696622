"""The engine: the containers that stages run in, what they see of the source, and the run of a stage."""
