package controlplane

import (
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/agentsession/agentsession/internal/awswire"
)

// refused is what a caller is told of what the API server refused. Its words are about what
// he sent, or about what the gateway may do.
func refused(err error) error {
	if _, ok := errors.AsType[*awswire.Failure](err); err == nil || ok {
		return err
	}
	status, is := errors.AsType[*apierrors.StatusError](err)
	if !is {
		return err
	}
	said := status.Status().Message
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err),
		strings.Contains(said, "etcdserver: request is too large"): // with 500 and no reason
		return errors.Join(invalid(status), err)
	case apierrors.IsForbidden(err) && strings.Contains(said, "exceeded quota"):
		return errors.Join(awswire.OverQuota("The namespace may have no more: "+said), err)
	case apierrors.IsForbidden(err):
		return errors.Join(awswire.Denied("The cluster refuses it; where runtimes are to be made, changed or deleted by this API, bind the ClusterRole "+
			"agentsession-gateway-control to the gateway's service account: "+said), err)
	case apierrors.IsConflict(err):
		return errors.Join(conflict("The runtime was changed meanwhile, please retry"), err)
	case apierrors.IsNotFound(err):
		return errors.Join(unknown(), err)
	}
	return err
}

// invalid names the members in the API server's words.
func invalid(status *apierrors.StatusError) *awswire.Failure {
	f := awswire.Unparsable("The request is refused: " + status.Status().Message)
	if details := status.Status().Details; details != nil {
		for _, cause := range details.Causes {
			if cause.Field == "<nil>" { // "some validation rules were not checked"
				continue
			}
			name := strings.TrimPrefix(strings.TrimPrefix(cause.Field, "spec."), "agentCore.")
			f.FieldList = append(f.FieldList, awswire.Field{Name: name, Message: cause.Message})
		}
		if len(f.FieldList) > 0 {
			f.Reason = "FieldValidationFailed"
		}
	}
	return f
}
