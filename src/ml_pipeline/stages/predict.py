"""The name of the batch command, ml_pipeline.serving.predict, in images of earlier versions."""

from ml_pipeline.serving.predict import main

if __name__ == "__main__":
    main()
