package node_test

import (
	"strings"
	"testing"
)

// H71: TestH71TheHolderDoesNotUndoAnApproval has the holder of an identity enroll again while another key asks for it, and again while that key
// is approved. What the register says of both stays until the other key has joined, or the approval is withdrawn.
func TestH71TheHolderDoesNotUndoAnApproval(t *testing.T) {
	c, dir := newCell(t, nil), t.TempDir()
	holder := newMember(t, "n1.example", t.TempDir(), c.join, hurriedNodes(t))
	holder.becomes("active")
	nodes := c.bucket("NODES")
	other := newMember(t, "n1.example", dir, c.join, impatientNodes(t))
	claimant := func() string {
		asked, _ := record(t, nodes, "n1.example")["asked"].([]any)
		if len(asked) != 1 {
			return ""
		}
		key, _ := asked[0].(map[string]any)["key"].(string)
		return key
	}
	eventually(t, "the register says which key has asked", func() bool { return claimant() != "" })
	key := claimant()
	if err := other.stop(); err != nil {
		t.Fatal(err)
	}
	enrollsAgain := func() {
		t.Helper()
		before := holder.token()
		holder.reprovision()
		eventually(t, "the holder has enrolled again", func() bool { return holder.state() == "active" && holder.token() != before })
	}
	enrollsAgain()
	if claimant() != key {
		t.Fatalf("the holder has enrolled again, and the register has forgotten who asked: %v", record(t, nodes, "n1.example"))
	}
	approve := func(question map[string]any) {
		t.Helper()
		question["node"], question["by"] = "n1=example", "operator"
		if code, said := c.question("approve", question); code != "" {
			t.Fatalf("%v: %s %s", question, code, said)
		}
	}
	approved := func() any {
		value, _ := record(t, nodes, "n1.example")["approved"].(map[string]any)
		return value["key"]
	}
	approve(map[string]any{"key": strings.ToUpper(key)})
	enrollsAgain()
	if approved() != key {
		t.Fatalf("the holder has undone the approval: %v", record(t, nodes, "n1.example"))
	}
	approve(map[string]any{"withdraw": true, "key": strings.ToUpper(key)})
	enrollsAgain()
	if r := record(t, nodes, "n1.example"); r["approved"] != nil || r["asked"] != nil {
		t.Errorf("an approval that was withdrawn is there again: %v", r)
	}
	approve(map[string]any{"key": key})
	newMember(t, "n1.example", dir, c.join, impatientNodes(t)).becomes("active")
	if r := record(t, nodes, "n1.example"); r["public_key"] != key || r["approved"] != nil || r["asked"] != nil {
		t.Errorf("the register after the replacement: %v", r)
	}
}
