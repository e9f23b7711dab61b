"""A lab: hosts as network namespaces with Icelane's services in them, and the demo."""
