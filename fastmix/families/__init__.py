"""What a component is: parameters, kernel parameters, tile functions, M-step."""
