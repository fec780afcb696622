"""How values are distributed: their record, the distance between two samples, its significance."""
