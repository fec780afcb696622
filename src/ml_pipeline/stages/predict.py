"""The older name of ml_pipeline.serving.predict."""

from ml_pipeline.serving.predict import main

if __name__ == "__main__":
    main()
