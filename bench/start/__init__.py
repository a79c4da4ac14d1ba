"""What starting, running and stopping containers costs, beside docker, podman, crun and runc."""
