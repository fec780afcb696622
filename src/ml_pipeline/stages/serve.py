"""The name of the server, ml_pipeline.serving.serve, in images of earlier versions."""

from ml_pipeline.serving.serve import main

if __name__ == "__main__":
    main()
