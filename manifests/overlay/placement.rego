package statecraft.enrollment

# Every node with a good join token is taken into this cell.
placement := {"configuration": object.get(input.site, "configuration", {})}
