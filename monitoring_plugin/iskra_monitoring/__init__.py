"""Metric collection, forecasts and anomaly detection. Nothing is built here yet."""
