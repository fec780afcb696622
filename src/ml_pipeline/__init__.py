"""An ML delivery pipeline as a Dagger module: from source to a served, judged model."""
