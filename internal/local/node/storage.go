package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// storageDir is the folder of all claims' folders, in the guard's: they go with this process.
func (n *Node) storageDir() string { return filepath.Join(n.guard.dir, "storage") }

// folders are those of the claims that the pod's volumes name, by the volume. A claim that is
// not there has none: it is one of a cluster's.
func (p *process) folders(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for i := range p.pod.Spec.Volumes {
		source := p.pod.Spec.Volumes[i].PersistentVolumeClaim
		if source == nil {
			continue
		}
		var claim corev1.PersistentVolumeClaim
		err := p.node.client.Get(ctx, client.ObjectKey{Namespace: p.pod.Namespace, Name: source.ClaimName}, &claim)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("get the PersistentVolumeClaim %s: %w", source.ClaimName, err)
		}
		folder, err := p.folder(claim.UID)
		if err != nil {
			return nil, err
		}
		all[p.pod.Spec.Volumes[i].Name] = folder
	}
	return all, nil
}

// folder is that of a claim, which the process uses from then on. Nobody else on this machine
// reaches what is in the guard's, and an image's user may be any.
func (p *process) folder(claim types.UID) (string, error) {
	p.node.mu.Lock()
	p.claims = append(p.claims, claim)
	p.node.mu.Unlock()
	folder := filepath.Join(p.node.storageDir(), string(claim))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the session's storage: %w", err)
	}
	if err := os.Chmod(folder, 0o777); err != nil { //nolint:gosec // the folder above is this user's alone
		return "", fmt.Errorf("open the folder of the session's storage to its agent: %w", err)
	}
	return folder, nil
}

// watchClaims removes the folders of claims that go, until ctx ends.
func (n *Node) watchClaims(ctx context.Context) {
	for ctx.Err() == nil {
		events, err := n.client.Watch(ctx, &corev1.PersistentVolumeClaimList{})
		if err != nil {
			return // so does the watch of pods, which says so
		}
		n.removeFolders(ctx)
		for event := range events.ResultChan() {
			if event.Type == watch.Deleted {
				n.removeFolders(ctx)
			}
		}
	}
}

// usedClaims are those of the processes that run.
func (n *Node) usedClaims() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	used := map[string]bool{}
	for _, p := range n.pods {
		for _, claim := range p.claims {
			used[string(claim)] = true
		}
	}
	return used
}

// removeFolders removes those whose claim has gone, and that no process uses.
func (n *Node) removeFolders(ctx context.Context) {
	folders, err := os.ReadDir(n.storageDir())
	if err != nil || len(folders) == 0 {
		return // there are none
	}
	var claims corev1.PersistentVolumeClaimList // which are read later: each folder's was made before it
	if err := n.client.List(ctx, &claims); err != nil {
		return // the next to end looks again
	}
	used := n.usedClaims()
	for i := range claims.Items {
		used[string(claims.Items[i].UID)] = true
	}
	for _, folder := range folders {
		if !used[folder.Name()] {
			_ = os.RemoveAll(filepath.Join(n.storageDir(), folder.Name())) // the guard says what it cannot remove
		}
	}
}
