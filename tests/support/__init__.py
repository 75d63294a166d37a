"""What tests stand on: servers, faces, models, a proxy."""
