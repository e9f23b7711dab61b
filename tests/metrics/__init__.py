"""The reference of all metrics, dashboards and alerts, and what holds them to a running system."""
