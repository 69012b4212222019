package statecraft.enrollment

# asked is what an answer is weighed with, in the cell main.
asked(given) := {"answer": given, "cell": "main", "rights": ["deliver"]}

# found are the problems of an answer.
found(given) := problems if {
	problems := answer.problems with input as asked(given)
}

# granted are the claims of an answer.
granted(given) := claims if {
	claims := answer.claims with input as asked(given)
}

pem := "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

test_an_empty_answer_is_taken if {
	found({}) == ""
	granted({}) == {"collectives": ["main"]}
}

test_what_is_null_was_not_said if {
	found({"upgrade": null, "server_claims": {"ou": null}}) == ""
}

test_every_field_is_taken_as_it_should_be if {
	found({
		"configuration": {"colour": "blue"}, "action_policies": {"rpcutil.policy": "policy default deny"},
		"opa_policies": {"choria": "package x"}, "server_claims": {"ou": "web"}, "collectives": ["main", "web_1"],
		"upgrade": "1.2.3-rc.1+b", "certificate": pem, "ca": pem, "overlay": "main", "defer": false, "deny": false,
		"shutdown": false, "msg": "welcome",
	}) == ""
}

test_a_field_that_is_not_known_is_refused if {
	contains(found({"colour": "blue"}), "colour is not known here")
}

test_a_field_of_another_type_is_refused if {
	found({"deny": "yes"}) == "deny is not of the type boolean"
	found({"collectives": "main"}) == "collectives is not of the type array"
}

test_an_answer_of_18000_bytes_is_taken_and_of_one_more_is_not if {
	room := 18000 - count(json.marshal({"msg": ""}))
	found({"msg": sprintf("%*s", [room, ""])}) == ""
	startswith(found({"msg": sprintf("%*s", [room + 1, ""])}), "it takes more than 18000 bytes")
}

test_another_overlay_is_named if {
	found({"overlay": "other"}) == "overlay is other, and this is main: a join token of that overlay takes the node there"
	found({"overlay": ""}) == ""
}

test_an_upgrade_is_a_version if {
	found({"upgrade": ""}) == ""
	every version in ["latest version", "../1", "-1", "1\n", sprintf("%065d", [1])] {
		found({"upgrade": version}) == "upgrade is no version"
	}
}

test_a_certificate_is_one_without_a_key if {
	found({"ca": "MIIB"}) == "ca is no certificate in PEM"
	found({"certificate": concat("", [pem, "-----BEGIN EC PRIVATE KEY-----"])}) == "certificate holds a private key"
}

test_policies_are_texts_with_names_of_files if {
	every name in ["../x", ".x", "a/b", "", "x\n", sprintf("%0101d", [1])] {
		startswith(found({"opa_policies": {name: "package x"}}), "opa_policies: ")
	}
	found({"action_policies": {"x": 1}}) == "action_policies: x is not the name of a file, or no text"
}

test_claims_are_those_that_nodes_are_given if {
	found({"server_claims": {"org_admin": true}}) == "server_claims: org_admin is nothing that nodes are given"
	found({"server_claims": {"ou": 1}}) == "server_claims: ou is not of the type string"
}

test_rights_are_those_of_the_site if {
	granted({"server_claims": {"permissions": {"deliver": true}}}).permissions == {"deliver": true}
	not granted({"server_claims": {"permissions": {"deliver": false}}}).permissions
	every given in [{"root": true}, {"deliver": "yes"}, {"deliver": 1}] {
		endswith(found({"server_claims": {"permissions": given}}), "is not a right that nodes are given")
	}
}

test_collectives_are_said_once_and_have_names if {
	found({"collectives": ["a"], "server_claims": {"collectives": ["a"]}}) == "collectives are said twice"
	granted({"collectives": ["a"]}).collectives == ["a"]
	granted({"server_claims": {"collectives": ["b"]}}).collectives == ["b"]
	every name in ["a b", "", "a.b", ">"] {
		endswith(found({"collectives": [name]}), "is not the name of a collective")
	}
}

test_an_answer_with_a_problem_gives_no_claims if {
	granted({"collectives": ["a b"], "server_claims": {"ou": "web"}}) == {}
}

test_the_ou_is_passed_on_unless_it_is_empty if {
	granted({"server_claims": {"ou": "web"}}).ou == "web"
	not granted({"server_claims": {"ou": ""}}).ou
}

test_problems_are_told_at_most_in_1000_characters if {
	count(found({sprintf("%0100d", [n]): 1 | some n in numbers.range(1, 50)})) == 1000
}
