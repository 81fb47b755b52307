// Command control-plane holds the parts of a Kubernetes cluster in one binary.
//
// The name it is called by picks the part, or else its first argument does. One binary instead of
// seven shares the packages they have in common: a quarter of the size, and one link step.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics on /metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var parts = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          newScheduler,
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 newKubelet,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func main() {
	part := filepath.Base(os.Args[0])
	if !known(part) && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		part = os.Args[0]
	}
	if part == "etcd" {
		etcdmain.Main(os.Args) // ends the process itself
		return
	}
	newCommand, ok := parts[part]
	if !ok {
		fmt.Fprintf(os.Stderr, "control-plane: no part is called %q\n", part)
		os.Exit(2)
	}
	os.Exit(cli.Run(newCommand()))
}

func known(part string) bool {
	_, ok := parts[part]
	return ok || part == "etcd"
}

func newScheduler() *cobra.Command { return scheduler.NewSchedulerCommand() }

func newKubelet() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }
