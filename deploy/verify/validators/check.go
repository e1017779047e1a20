package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// The namespace of the objects, which helm leaves to the server.
const namespace = "default"

var (
	strict       = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	restricted   = api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	evaluator, _ = podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
)

// check returns "kind/name" of a document and its faults.
func check(document []byte) (string, []error) {
	var head metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(document, &head); err != nil {
		return "no object", []error{err}
	}
	name := fmt.Sprintf("%s/%s", head.Kind, head.Name)
	if kind, known := custom[head.APIVersion+" "+head.Kind]; known {
		return name, kind(document)
	}
	// The object as sent, and as the server sees it: with defaults, in its internal version.
	versioned, _, err := strict.UniversalDeserializer().Decode(document, nil, nil)
	if err != nil {
		return name, []error{err}
	}
	internal, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(), document)
	if err != nil {
		return name, []error{err}
	}
	return name, append(validate(internal), secure(versioned)...)
}

func validate(object runtime.Object) []error {
	if accessor, ok := object.(metav1.Object); ok && accessor.GetNamespace() == "" {
		accessor.SetNamespace(namespace)
	}
	switch o := object.(type) {
	case *core.Service:
		// The server fills this in before it validates.
		if o.Spec.ClusterIP != "" {
			o.Spec.ClusterIPs = []string{o.Spec.ClusterIP}
		}
		return list(corevalidation.ValidateServiceCreate(o))
	case *core.Pod:
		return list(corevalidation.ValidatePodCreate(o, podutil.GetValidationOptionsFromPodSpecAndMeta(&o.Spec, nil, &o.ObjectMeta, nil)))
	case *core.ConfigMap:
		return list(corevalidation.ValidateConfigMap(o))
	case *core.ServiceAccount:
		return list(corevalidation.ValidateServiceAccount(o))
	case *apps.Deployment:
		return list(appsvalidation.ValidateDeployment(o, podutil.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil)))
	case *apps.StatefulSet:
		return list(appsvalidation.ValidateStatefulSet(o, appsvalidation.StatefulSetValidationOptions{}, podutil.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil)))
	case *policy.PodDisruptionBudget:
		return list(policyvalidation.ValidatePodDisruptionBudget(o, policyvalidation.PodDisruptionBudgetValidationOptions{}))
	case *networking.NetworkPolicy:
		return list(networkingvalidation.ValidateNetworkPolicy(o, networkingvalidation.NetworkPolicyValidationOptions{}))
	}
	return []error{fmt.Errorf("no validator is known here for %T", object)}
}

func list(faults field.ErrorList) []error {
	found := make([]error, 0, len(faults))
	for _, fault := range faults {
		found = append(found, fault)
	}
	return found
}

// secure checks the pods of an object against the Pod Security Standard "restricted".
func secure(object runtime.Object) []error {
	switch o := object.(type) {
	case *corev1.Pod:
		return secureTemplate(&o.ObjectMeta, &o.Spec)
	case *appsv1.Deployment:
		return secureTemplate(&o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		return secureTemplate(&o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec)
	}
	return nil
}

func secureTemplate(meta *metav1.ObjectMeta, spec *corev1.PodSpec) []error {
	var faults []error
	for _, result := range evaluator.EvaluatePod(restricted, meta, spec) {
		if !result.Allowed {
			faults = append(faults, fmt.Errorf("restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return faults
}
