package main

import (
	"fmt"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"sigs.k8s.io/yaml"
)

// custom validates the kinds of operators by the Go types of their makers.
var custom = map[string]func([]byte) []error{
	"monitoring.coreos.com/v1 ServiceMonitor": decodes[monitoringv1.ServiceMonitor],
	"monitoring.coreos.com/v1 PodMonitor":     decodes[monitoringv1.PodMonitor],
	"monitoring.coreos.com/v1 PrometheusRule": decodes[monitoringv1.PrometheusRule],
	"keda.sh/v1alpha1 ScaledObject":           decodes[kedav1alpha1.ScaledObject],
	"keda.sh/v1alpha1 ScaledJob":              scaledJob,
}

func decodes[T any](document []byte) []error {
	if err := yaml.UnmarshalStrict(document, new(T)); err != nil {
		return []error{err}
	}
	return nil
}

// scaledJob also validates the Job that KEDA makes, as that of a CronJob, which like it has no selector yet.
func scaledJob(document []byte) []error {
	var scaled kedav1alpha1.ScaledJob
	if err := yaml.UnmarshalStrict(document, &scaled); err != nil {
		return []error{err}
	}
	if scaled.Spec.JobTargetRef == nil {
		return []error{fmt.Errorf("spec.jobTargetRef is missing")}
	}
	cron := &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"},
		ObjectMeta: metav1.ObjectMeta{Name: scaled.Name, Namespace: namespace},
		Spec: batchv1.CronJobSpec{
			Schedule:    "0 0 * * *",
			JobTemplate: batchv1.JobTemplateSpec{Spec: *scaled.Spec.JobTargetRef},
		},
	}
	template := cron.Spec.JobTemplate.Spec.Template.DeepCopy()
	encoded, err := runtime.Encode(legacyscheme.Codecs.LegacyCodec(batchv1.SchemeGroupVersion), cron)
	if err != nil {
		return []error{err}
	}
	internal, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(), encoded)
	if err != nil {
		return []error{err}
	}
	job := internal.(*batch.CronJob)
	options := podutil.GetValidationOptionsFromPodTemplate(&job.Spec.JobTemplate.Spec.Template, nil)
	return append(list(batchvalidation.ValidateCronJobCreate(job, options)), secureTemplate(&template.ObjectMeta, &template.Spec)...)
}
