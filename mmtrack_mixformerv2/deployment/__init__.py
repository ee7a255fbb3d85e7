"""What runs the network of a tracker, and its export; on torch and the packages of exporters."""
