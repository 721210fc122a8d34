"""Work on a Ray cluster: joining it, and workers that each hold something costly."""
