package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Namespaces are those that a process watches, the value of a flag. Empty: all of the
// cluster.
type Namespaces []string

// String is what Set reads.
func (n *Namespaces) String() string { return strings.Join(*n, ",") }

// Set reads a list with commas.
func (n *Namespaces) Set(list string) error {
	*n = nil
	if list == "" {
		return nil
	}
	for name := range strings.SplitSeq(list, ",") {
		if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
			return fmt.Errorf("%q is not the name of a namespace: %s", name, wrong[0])
		}
		if slices.Contains(*n, name) {
			return fmt.Errorf("%s is listed twice", name)
		}
		*n = append(*n, name)
	}
	return nil
}

// Restrict has a cache watch these namespaces only, each by a request of its own, so that
// a Role in each of them is enough. Kinds with namespaces of their own keep those. One that may
// not be read keeps the cache from nothing but its own objects.
func (n Namespaces) Restrict(o *cache.Options) {
	if len(n) == 0 {
		return
	}
	o.NewInformer = tolerant
	o.DefaultNamespaces = make(map[string]cache.Config, len(n))
	for _, name := range n {
		o.DefaultNamespaces[name] = cache.Config{}
	}
}

// Reader reads in these namespaces: of others it says that nothing is there, and who lists
// all namespaces gets what is in these, but for those that may not be read.
func (n Namespaces) Reader(of client.Reader) client.Reader {
	if len(n) == 0 {
		return of
	}
	return restricted{of, n}
}

// Client is one whose reads are as Reader's. A cache that is restricted answers those in other
// namespaces with an error.
func (n Namespaces) Client(of client.Client) client.Client {
	if len(n) == 0 {
		return of
	}
	return restrictedClient{of, restricted{of, n}}
}

type restrictedClient struct {
	client.Client
	reader restricted
}

func (c restrictedClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	return c.reader.Get(ctx, key, object, opts...)
}

func (c restrictedClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.reader.List(ctx, list, opts...)
}

type restricted struct {
	client.Reader
	namespaces Namespaces
}

func (r restricted) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if !slices.Contains(r.namespaces, key.Namespace) {
		return apierrors.NewNotFound(schema.GroupResource{}, key.String())
	}
	return r.Reader.Get(ctx, key, object, opts...)
}

func (r restricted) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	switch namespace := (&client.ListOptions{}).ApplyOptions(opts).Namespace; {
	case slices.Contains(r.namespaces, namespace):
		return r.Reader.List(ctx, list, opts...)
	case namespace != "":
		return meta.SetList(list, nil)
	}
	var all []runtime.Object
	for _, name := range r.namespaces {
		part, ok := list.DeepCopyObject().(client.ObjectList)
		if !ok {
			return fmt.Errorf("list in namespace %s: %T is no list", name, list)
		}
		if err := r.Reader.List(ctx, part, append(slices.Clone(opts), client.InNamespace(name))...); apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			continue // one whose Role has gone takes nothing from the others
		} else if err != nil {
			return fmt.Errorf("list in namespace %s: %w", name, err)
		}
		items, err := meta.ExtractList(part)
		if err != nil {
			return fmt.Errorf("list in namespace %s: %w", name, err)
		}
		all = append(all, items...)
	}
	return meta.SetList(list, all)
}
