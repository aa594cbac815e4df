"""What both ends of a gRPC connection share."""
