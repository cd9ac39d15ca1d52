"""Real Apache Kafka from its jars, for tests and demonstrations. Nothing of the exchange itself may enter here."""
