"""What travels between the stages: instructions, utterances, audio bytes, parquet shards and seeds."""
