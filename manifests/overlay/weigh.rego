package statecraft.enrollment

answer := {"problems": substring(concat("; ", problems), 0, 1000), "claims": claims}

# The fields of an answer. One that is null was not said.
kinds := {
	"configuration": "object", "action_policies": "object", "opa_policies": "object", "server_claims": "object",
	"collectives": "array", "upgrade": "string", "certificate": "string", "ca": "string", "overlay": "string",
	"defer": "boolean", "deny": "boolean", "shutdown": "boolean", "msg": "string",
}

claim_kinds := {"collectives": "array", "permissions": "object", "ou": "string"}

said := {name: value | some name, value in input.answer; value != null}

said_claims := {name: value | some name, value in said.server_claims; value != null}

problems contains sprintf("%s is not known here", [name]) if {
	some name, _ in said
	not kinds[name]
}

problems contains sprintf("%s is not of the type %s", [name, kinds[name]]) if {
	some name, value in said
	type_name(value) != kinds[name]
}

# An assignment is one signed document of bounded size.
problems contains "it takes more than 18000 bytes; hand large things over by their addresses" if {
	count(json.marshal(said)) > 18000
}

problems contains sprintf(
	"overlay is %s, and this is %s: a join token of that overlay takes the node there",
	[said.overlay, input.cell],
) if {
	not said.overlay in {"", input.cell}
}

problems contains "upgrade is no version" if {
	said.upgrade != ""
	not regex.match(`^[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}$`, said.upgrade)
}

problems contains sprintf("%s is no certificate in PEM", [name]) if {
	some name in ["certificate", "ca"]
	said[name] != ""
	not regex.match(`^\s*-----BEGIN CERTIFICATE-----`, said[name])
}

problems contains sprintf("%s holds a private key", [name]) if {
	some name in ["certificate", "ca"]
	contains(said[name], "PRIVATE KEY-----")
}

# Policies become files.
problems contains sprintf("%s: %s is not the name of a file, or no text", [kind, name]) if {
	some kind in ["action_policies", "opa_policies"]
	some name, content in said[kind]
	not named_text(name, content)
}

named_text(name, content) if {
	regex.match(`^[0-9A-Za-z_][0-9A-Za-z_.-]{0,99}$`, name)
	is_string(content)
}

problems contains sprintf("server_claims: %s is nothing that nodes are given", [name]) if {
	some name, _ in said_claims
	not claim_kinds[name]
}

problems contains sprintf("server_claims: %s is not of the type %s", [name, claim_kinds[name]]) if {
	some name, value in said_claims
	type_name(value) != claim_kinds[name]
}

problems contains sprintf("server_claims: %s is not a right that nodes are given", [name]) if {
	some name, given in said_claims.permissions
	given != false
	not right(name, given)
}

right(name, given) if {
	given == true
	name in input.rights
}

problems contains "collectives are said twice" if {
	said.collectives
	said_claims.collectives
}

problems contains sprintf("%v is not the name of a collective", [name]) if {
	some name in array.concat(object.get(said, "collectives", []), object.get(said_claims, "collectives", []))
	not collective(name)
}

collective(name) if regex.match(`^[0-9A-Za-z_-]{1,64}$`, name)

default claims := {}

claims := object.union_n([{"collectives": collectives}, permissions, ou]) if count(problems) == 0

default collectives := ["main"]

collectives := said_claims.collectives

collectives := said.collectives if not said_claims.collectives

default permissions := {}

permissions := {"permissions": {name: true | some name, true in said_claims.permissions}} if {
	some _, true in said_claims.permissions
}

default ou := {}

ou := {"ou": said_claims.ou} if said_claims.ou != ""
