"""The older name of ml_pipeline.serving.serve."""

from ml_pipeline.serving.serve import main

if __name__ == "__main__":
    main()
