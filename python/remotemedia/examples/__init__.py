"""Small classes to try things with: plain objects, one for each kind of method."""
