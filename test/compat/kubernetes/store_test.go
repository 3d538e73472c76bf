package kubernetes

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/apitesting"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	"k8s.io/apiserver/pkg/features"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

func TestCreate(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestCreate(f.ctx, t, f, f.stored)
}

func TestCreateWithTTL(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestCreateWithTTL(f.ctx, t, f)
}

func TestCreateWithKeyExist(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestCreateWithKeyExist(f.ctx, t, f)
}

func TestGet(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestGet(f.ctx, t, f)
}

func TestUnconditionalDelete(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestUnconditionalDelete(f.ctx, t, f)
}

func TestConditionalDelete(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestConditionalDelete(f.ctx, t, f)
}

func TestDeleteWithSuggestion(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestDeleteWithSuggestion(f.ctx, t, f)
}

func TestDeleteWithSuggestionAndConflict(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestDeleteWithSuggestionAndConflict(f.ctx, t, f)
}

func TestDeleteWithConflict(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestDeleteWithConflict(f.ctx, t, f)
}

func TestDeleteWithSuggestionOfDeletedObject(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestDeleteWithSuggestionOfDeletedObject(f.ctx, t, f)
}

func TestValidateDeletionWithSuggestion(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestValidateDeletionWithSuggestion(f.ctx, t, f)
}

func TestValidateDeletionWithOnlySuggestionValid(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestValidateDeletionWithOnlySuggestionValid(f.ctx, t, f)
}

func TestPreconditionalDeleteWithSuggestion(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestPreconditionalDeleteWithSuggestion(f.ctx, t, f)
}

func TestPreconditionalDeleteWithOnlySuggestionPass(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestPreconditionalDeleteWithOnlySuggestionPass(f.ctx, t, f)
}

func TestDeleteWithConflictAndMissingExpectedTransformOrDecodeError(t *testing.T) {
	gate(t, features.AllowUnsafeMalformedObjectDeletion, true)
	codec := &failingCodec{Codec: apitesting.TestCodec(codecs, examplev1.SchemeGroupVersion)}
	f := setup(t, withCodec(codec))
	storagetesting.RunTestDeleteWithConflictAndMissingExpectedTransformOrDecodeError(f.ctx, t, f, codec.failing.Store)
}

func TestDeleteExpectedTransformError(t *testing.T) {
	gate(t, features.AllowUnsafeMalformedObjectDeletion, true)
	transformer := &failingTransformer{Transformer: newTransformer()}
	f := setup(t, withTransformer(transformer))
	storagetesting.RunTestDeleteExpectedTransformOrDecodeError(f.ctx, t, f, transformer.failing.Store)
}

func TestDeleteExpectedDecodeError(t *testing.T) {
	gate(t, features.AllowUnsafeMalformedObjectDeletion, true)
	codec := &failingCodec{Codec: apitesting.TestCodec(codecs, examplev1.SchemeGroupVersion)}
	f := setup(t, withCodec(codec))
	storagetesting.RunTestDeleteExpectedTransformOrDecodeError(f.ctx, t, f, codec.failing.Store)
}

func TestDeleteWithSuggestionAndMissingExpectedTransformOrDecodeError(t *testing.T) {
	gate(t, features.AllowUnsafeMalformedObjectDeletion, true)
	f := setup(t)
	storagetesting.RunTestDeleteWithSuggestionAndMissingExpectedTransformOrDecodeError(f.ctx, t, f)
}

func TestGuaranteedUpdate(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestGuaranteedUpdate(f.ctx, t, f, f.stored)
}

func TestGuaranteedUpdateWithTTL(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestGuaranteedUpdateWithTTL(f.ctx, t, f)
}

func TestGuaranteedUpdateChecksStoredData(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestGuaranteedUpdateChecksStoredData(f.ctx, t, f)
}

func TestGuaranteedUpdateWithConflict(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestGuaranteedUpdateWithConflict(f.ctx, t, f)
}

func TestGuaranteedUpdateWithSuggestionAndConflict(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestGuaranteedUpdateWithSuggestionAndConflict(f.ctx, t, f)
}

func TestTransformationFailure(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestTransformationFailure(f.ctx, t, f)
}

func TestKeySchema(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestKeySchema(f.ctx, t, f)
}

func TestStats(t *testing.T) {
	for _, sizes := range []bool{true, false} {
		t.Run(fmt.Sprintf("sizes=%v", sizes), func(t *testing.T) {
			f := setup(t)
			if sizes {
				if err := f.EnableResourceSizeEstimation(f.keys); err != nil {
					t.Fatal(err)
				}
			}
			storagetesting.RunTestStats(f.ctx, t, f, f.codec, f.transforms, sizes)
		})
	}
}
