"""Tables of the architectures that PyTorch has, too: packages, published configs, names."""

PIP = {
    "timm": "pip install torch timm",
    "torchvision": "pip install torch torchvision",
    "transformers": "pip install torch transformers",
    "mmaction": "pip install torch torchvision mmengine==0.10.7 einops importlib_metadata;"
    " pip install --no-deps --no-build-isolation mmcv-lite==2.1.0 mmaction2==1.2.0",
}
# family -> what there is; family:variant of our config -> MMAction2's file
AVAILABLE = {
    "swin": ("torchvision", "mmaction"),
    "clip": ("transformers",),
    "clip4clip": ("transformers",),
    "actionclip": ("transformers",),
    "siglip": ("transformers",),
    "xclip": ("transformers",),
    "videomae": ("mmaction", "transformers"),
    "videomaev2": ("mmaction", "transformers"),
    "vivit": ("transformers",),
    "vjepa2": ("transformers",),
    "videoprism": ("transformers",),
}
# Classifiers of videos of transformers: class, part that our config freezes, options for frames and
# size, options of variants other than the default
TRANSFORMERS: dict[str, tuple[str, str, tuple[str, str], dict[str, dict]]] = {
    **{
        family: (
            "VideoMAEForVideoClassification",
            "",
            ("num_frames", "image_size"),
            {
                "small": dict(hidden_size=384, num_attention_heads=6, intermediate_size=1536),
                "large": dict(
                    hidden_size=1024,
                    num_attention_heads=16,
                    intermediate_size=4096,
                    num_hidden_layers=24,
                ),
            },
        )
        for family in ("videomae", "videomaev2")
    },
    "vivit": ("VivitForVideoClassification", "", ("num_frames", "image_size"), {}),
    "vjepa2": (
        "VJEPA2ForVideoClassification",
        "vjepa2",
        ("frames_per_clip", "crop_size"),
        {"vith": dict(hidden_size=1280, num_hidden_layers=32)},
    ),
    "videoprism": (
        "VideoPrismForVideoClassification",
        "vision_model",
        ("num_frames", "image_size"),
        {
            "large": dict(
                hidden_size=1024,
                num_attention_heads=16,
                intermediate_size=4096,
                num_spatial_layers=24,
            )
        },
    ),
}
RECOGNITION = {
    "swin:tiny": "swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb",
    "swin:small": "swin/swin-small-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb",
    "swin:base": "swin/swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb",
    "mvit:small_16x4": "mvit/mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb",
    "mvit:base_32x3": "mvit/mvit-base-p244_32x3x1_kinetics400-rgb",
    "tsn:r50_u3": "tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb",
    "tsn:r50_u8": "tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb",
    "tsm:r50_u8": "tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb",
    "tsm:mobilenetv2_u8": "tsm/"
    "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb",
    "tsm:r50_u16": "tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x16-50e_kinetics400-rgb",
    "tanet": "tanet/tanet_imagenet-pretrained-r50_8xb8-dense-1x1x8-100e_kinetics400-rgb",
    "tin": "tin/tin_kinetics400-pretrained-tsm-r50_1x1x8-50e_kinetics400-rgb",
    "trn": "trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb",
    "tpn:slowonly_r50_8x8": "tpn/tpn-slowonly_r50_8xb8-8x8x1-150e_kinetics400-rgb",
    **{
        f"timesformer:{name.lower()}": "timesformer/"
        f"timesformer_{name}_8xb8-8x32x1-15e_kinetics400-rgb"
        for name in ("divST", "jointST", "spaceOnly")
    },
    **{
        f"videomae:{name}": f"videomae/vit-{name}-p16_videomae-k400-pre_16x4x1_kinetics-400"
        for name in ("base", "large")
    },
    **{
        f"videomaev2:{name}": "videomaev2/"
        f"vit-{name}-p16_videomaev2-vit-g-dist-k710-pre_16x4x1_kinetics-400"
        for name in ("small", "base")
    },
    "umt:base": "videomae/vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400",
    "umt:large": "videomae/vit-large-p16_videomae-k400-pre_16x4x1_kinetics-400",
    "uniformer:small_16x4": "uniformer/uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb",
    "uniformer:base_16x4": "uniformer/uniformer-base_imagenet1k-pre_16x4x1_kinetics400-rgb",
    "uniformerv2:base_u8": "uniformerv2/"
    "uniformerv2-base-p16-res224_clip-kinetics710-pre_8xb32-u8_kinetics400-rgb",
    "uniformerv2:large_u8": "uniformerv2/"
    "uniformerv2-large-p14-res224_clip-kinetics710-pre_u8_kinetics400-rgb",
    "x3d:s_13x6": "x3d/x3d_s_13x6x1_facebook-kinetics400-rgb",
    "x3d:m_16x5": "x3d/x3d_m_16x5x1_facebook-kinetics400-rgb",
    "c2d:r50_8x8": "c2d/c2d_r50-in1k-pre_8xb32-8x8x1-100e_kinetics400-rgb",
    "c2d:r50_16x4": "c2d/c2d_r50-in1k-pre_8xb32-16x4x1-100e_kinetics400-rgb",
    "c3d": "c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb",
    "i3d:r50_32x2": "i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb",
    "i3d:r50_32x2_heavy": "i3d/i3d_imagenet-pretrained-r50-heavy_8xb8-32x2x1-100e_kinetics400-rgb",
    "r2plus1d:r34_8x8": "r2plus1d/r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb",
    "r2plus1d:r34_32x2": "r2plus1d/r2plus1d_r34_8xb8-32x2x1-180e_kinetics400-rgb",
    "csn:ir50_ig65m": "csn/ircsn_ig65m-pretrained-r50-bnfrozen_8xb12-32x2x1-58e_kinetics400-rgb",
    "slowonly:r50_4x16": "slowonly/slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb",
    "slowonly:r50_8x8": "slowonly/slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb",
    "slowonly:r101_8x8": "slowonly/slowonly_r101_8xb16-8x8x1-196e_kinetics400-rgb",
    "slowfast:r50_4x16": "slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb",
    "slowfast:r50_8x8": "slowfast/slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb",
    "slowfast:r101_8x8": "slowfast/slowfast_r101_8xb8-8x8x1-256e_kinetics400-rgb",
}
# networks of images that MMAction2 takes from other packages: name of our config -> that of timm
IMAGES = {
    "tsn:resnext101_u3": "resnext101_32x4d",
    "tsn:densenet161_u3": "densenet161",
    "tsn:swin_base_u3": "swin_base_patch4_window7_224",
    "tsn:mobileone_s4_u8": "mobileone_s4",
}
SKELETON = "{0}/{0}_8xb16-joint-u100-80e_ntu60-xsub-keypoint-{1}"
FILES = {name: f"recognition/{file}" for name, file in RECOGNITION.items()} | {
    "tsn_audio": "recognition_audio/resnet/tsn_r18_8xb320-64x1x1-100e_kinetics400-audio-feature",
    "audioonly": "recognition_audio/audioonly/"
    "audioonly_r50_8xb160-64x1x1-100e_kinetics400-audio-feature",
    **{
        f"{g}:{d}_j": f"skeleton/{SKELETON.format(theirs, d)}"
        for g, theirs in (("stgcn", "stgcn"), ("stgcnpp", "stgcnpp"), ("agcn2s", "2s-agcn"))
        for d in ("2d", "3d")
    },
    "posec3d:keypoint": "skeleton/posec3d/slowonly_r50_8xb16-u48-240e_ntu60-xsub-keypoint",
    "bsn:400_tem": "localization/bsn/bsn_tem_1xb16-400x100-20e_activitynet-feature",
    "bsn:2048_tem": "localization/bsn/bsn_tem_1xb16-2048x100-20e_activitynet-k700-feature",
    "bmn:400": "localization/bmn/bmn_2xb8-400x100-9e_activitynet-feature",
    "bmn:2048": "localization/bmn/bmn_2xb8-2048x100-9e_activitynet-slowonly-k700-feature",
    "fast_rcnn:r50_4x16": "detection/slowonly/"
    "slowonly_kinetics400-pretrained-r50_8xb16-4x16x1-20e_ava21-rgb",
    "acrn": "detection/acrn/"
    "slowfast-acrn_kinetics400-pretrained-r50_8xb8-8x8x1-cosine-10e_ava21-rgb",
    "lfb:non_local": "detection/lfb/"
    "slowonly-lfb-nl_kinetics400-pretrained-r50_8xb12-4x16x1-20e_ava21-rgb",
    "lfb:max": "detection/lfb/"
    "slowonly-lfb-max_kinetics400-pretrained-r50_8xb12-4x16x1-20e_ava21-rgb",
}
