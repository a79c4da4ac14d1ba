"""One file per resource. A handler gets the services, the request, its route, and who asks."""
