//! The schemas of responses, field by field as in Kafka's message definitions:
//! <https://github.com/apache/kafka/tree/trunk/clients/src/main/resources/common/message>.

use super::{ApiRequest, FieldSchema, FieldType, StructSchema, WireSchema};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest,
    FetchResponse, InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest,
    ProduceResponse, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

pub(super) const I8: FieldType = FieldType::Fixed(1);
pub(super) const I16: FieldType = FieldType::Fixed(2);
pub(super) const I32: FieldType = FieldType::Fixed(4);
pub(super) const I64: FieldType = FieldType::Fixed(8);
pub(super) const UUID: FieldType = FieldType::Fixed(16);

/// A field of all versions.
pub(super) const fn always(kind: FieldType) -> FieldSchema {
    between(0, i16::MAX, kind)
}

/// A field from version `since` on.
pub(super) const fn since(since: i16, kind: FieldType) -> FieldSchema {
    between(since, i16::MAX, kind)
}

const fn between(since: i16, until: i16, kind: FieldType) -> FieldSchema {
    FieldSchema { since, until, kind }
}

/// A struct without tagged fields that the codec knows.
pub(super) const fn plain(fields: &'static [FieldSchema]) -> FieldType {
    FieldType::Struct(StructSchema { fields, tags: &[] })
}

const EPOCH_AND_LEADER: FieldType = plain(&[always(I32), always(I32)]);
const NODES: FieldType =
    FieldType::Array(&plain(&[always(I32), always(FieldType::Text), always(I32), always(FieldType::Text)]));

impl ApiRequest for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Response = ApiVersionsResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 3,
        body: StructSchema {
            fields: &[
                always(I16),
                always(FieldType::Array(&plain(&[always(I16), always(I16), always(I16)]))),
                since(1, I32),
            ],
            tags: &[
                (0, FieldType::Array(&plain(&[always(FieldType::Text), always(I16), always(I16)]))),
                (1, I64),
                (2, FieldType::Array(&plain(&[always(FieldType::Text), always(I16), always(I16)]))),
                (3, I8),
            ],
        },
    };
}

impl ApiRequest for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    type Response = MetadataResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 9,
        body: StructSchema {
            fields: &[
                since(3, I32),
                always(FieldType::Array(&plain(&[
                    always(I32),
                    always(FieldType::Text),
                    always(I32),
                    since(1, FieldType::Text),
                ]))),
                since(2, FieldType::Text),
                since(1, I32),
                always(FieldType::Array(&plain(&[
                    always(I16),
                    always(FieldType::Text),
                    since(10, UUID),
                    since(1, I8),
                    always(FieldType::Array(&plain(&[
                        always(I16),
                        always(I32),
                        always(I32),
                        since(7, I32),
                        always(FieldType::Array(&I32)),
                        always(FieldType::Array(&I32)),
                        since(5, FieldType::Array(&I32)),
                    ]))),
                    since(8, I32),
                ]))),
                between(8, 10, I32),
                since(13, I16),
            ],
            tags: &[],
        },
    };

    fn throttle_ms(response: &Self::Response) -> i32 {
        response.throttle_time_ms
    }
}

impl ApiRequest for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Response = ListOffsetsResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 6,
        body: StructSchema {
            fields: &[
                since(2, I32),
                always(FieldType::Array(&plain(&[
                    always(FieldType::Text),
                    always(FieldType::Array(&plain(&[
                        always(I32),
                        always(I16),
                        always(I64),
                        always(I64),
                        since(4, I32),
                    ]))),
                ]))),
            ],
            tags: &[],
        },
    };

    fn throttle_ms(response: &Self::Response) -> i32 {
        response.throttle_time_ms
    }
}

impl ApiRequest for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Response = OffsetForLeaderEpochResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 4,
        body: StructSchema {
            fields: &[
                since(2, I32),
                always(FieldType::Array(&plain(&[
                    always(FieldType::Text),
                    always(FieldType::Array(&plain(&[always(I16), always(I32), since(1, I32), always(I64)]))),
                ]))),
            ],
            tags: &[],
        },
    };
}

impl ApiRequest for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    type Response = FetchResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 12,
        body: StructSchema {
            fields: &[
                always(I32),
                since(7, I16),
                since(7, I32),
                always(FieldType::Array(&plain(&[
                    between(0, 12, FieldType::Text),
                    since(13, UUID),
                    always(FieldType::Array(&FieldType::Struct(StructSchema {
                        fields: &[
                            always(I32),
                            always(I16),
                            always(I64),
                            always(I64),
                            since(5, I64),
                            always(FieldType::Array(&plain(&[always(I64), always(I64)]))),
                            since(11, I32),
                            always(FieldType::Bytes),
                        ],
                        tags: &[
                            (0, plain(&[always(I32), always(I64)])),
                            (1, EPOCH_AND_LEADER),
                            (2, plain(&[always(I64), always(I32)])),
                        ],
                    }))),
                ]))),
            ],
            tags: &[(0, NODES)],
        },
    };

    fn throttle_ms(response: &Self::Response) -> i32 {
        response.throttle_time_ms
    }
}

impl ApiRequest for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 9,
        body: StructSchema {
            fields: &[
                always(FieldType::Array(&plain(&[
                    between(0, 12, FieldType::Text),
                    since(13, UUID),
                    always(FieldType::Array(&FieldType::Struct(StructSchema {
                        fields: &[
                            always(I32),
                            always(I16),
                            always(I64),
                            always(I64),
                            since(5, I64),
                            since(8, FieldType::Array(&plain(&[always(I32), always(FieldType::Text)]))),
                            since(8, FieldType::Text),
                        ],
                        tags: &[(0, EPOCH_AND_LEADER)],
                    }))),
                ]))),
                always(I32),
            ],
            tags: &[(0, NODES)],
        },
    };

    fn throttle_ms(response: &Self::Response) -> i32 {
        response.throttle_time_ms
    }
}

impl ApiRequest for DeleteTopicsRequest {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    type Response = DeleteTopicsResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 4,
        body: StructSchema {
            fields: &[
                since(1, I32),
                always(FieldType::Array(&plain(&[
                    always(FieldType::Text),
                    since(6, UUID),
                    always(I16),
                    since(5, FieldType::Text),
                ]))),
            ],
            tags: &[],
        },
    };
}

impl ApiRequest for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Response = InitProducerIdResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 2,
        body: StructSchema {
            fields: &[always(I32), always(I16), always(I64), always(I16), since(6, I64), since(6, I16)],
            tags: &[],
        },
    };

    fn throttle_ms(response: &Self::Response) -> i32 {
        response.throttle_time_ms
    }
}

impl ApiRequest for SaslHandshakeRequest {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    type Response = SaslHandshakeResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: i16::MAX,
        body: StructSchema { fields: &[always(I16), always(FieldType::Array(&FieldType::Text))], tags: &[] },
    };
}

impl ApiRequest for SaslAuthenticateRequest {
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    type Response = SaslAuthenticateResponse;
    const SCHEMA: WireSchema = WireSchema {
        flexible: 2,
        body: StructSchema {
            fields: &[always(I16), always(FieldType::Text), always(FieldType::Bytes), since(1, I64)],
            tags: &[],
        },
    };
}
