"""What an image says of itself: https://specs.opencontainers.org/image-spec/annotations/."""

TITLE = "org.opencontainers.image.title"  # the project's name
VERSION = "org.opencontainers.image.version"  # the model's
REVISION = "org.opencontainers.image.revision"  # the commit that was published
