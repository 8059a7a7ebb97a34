"""Components that do nothing but turn one type into another; a refused edge suggests them."""
