package node_test
import ("testing";"time";"fmt";"log/slog";"os"
"github.com/statecraft-io/statecraft/machine"
"github.com/statecraft-io/statecraft/runtime/node")
func TestDbg(t *testing.T){
 c:=newCell(t,nil)
 a:=newAgent(t,func(c *node.Config){ c.Log=slog.New(slog.NewTextHandler(os.Stderr,nil)); c.Observe=func(r *machine.Record,_ bool){ if r.To!=r.From && r.Machine!="heartbeat" {fmt.Printf("%s %s %s->%s %s\n",time.Now().Format("05.000"),r.Machine,r.From,r.To,r.Event)}}})
 e,err:=a.Emulate(t.Context(),"n","test",c.join,20,0)
 if err!=nil{t.Fatal(err)}
 end:=time.Now().Add(8*time.Second)
 for time.Now().Before(end) && e.Standing().Active<20 { <-time.After(100*time.Millisecond)}
 fmt.Println(e.Standing())
 for _,m:=range c.host.Host().Machines(){fmt.Println(m.Name,m.State)}
}
