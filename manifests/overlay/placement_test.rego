package statecraft.enrollment

test_a_node_is_given_the_sites_configuration if {
	placement == {"configuration": {"colour": "blue"}} with input as {"site": {"configuration": {"colour": "blue"}}}
}

test_a_site_without_a_configuration_gives_an_empty_one if {
	placement == {"configuration": {}} with input as {"site": {"cell": "main"}}
}
