//! The answers that we read, field by field, as Kafka's message definitions have them:
//! <https://github.com/apache/kafka/tree/trunk/clients/src/main/resources/common/message>.

use super::{Call, Field, Kind, Shape, Struct};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest,
    FetchResponse, InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest,
    ProduceResponse, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

pub(super) const I8: Kind = Kind::Fixed(1);
pub(super) const I16: Kind = Kind::Fixed(2);
pub(super) const I32: Kind = Kind::Fixed(4);
pub(super) const I64: Kind = Kind::Fixed(8);
pub(super) const UUID: Kind = Kind::Fixed(16);

pub(super) const fn always(kind: Kind) -> Field {
    between(0, i16::MAX, kind)
}

pub(super) const fn since(since: i16, kind: Kind) -> Field {
    between(since, i16::MAX, kind)
}

const fn between(since: i16, until: i16, kind: Kind) -> Field {
    Field { since, until, kind }
}

pub(super) const fn plain(fields: &'static [Field]) -> Kind {
    Kind::Struct(Struct { fields, tags: &[] })
}

const EPOCH_AND_LEADER: Kind = plain(&[always(I32), always(I32)]);
const NODES: Kind = Kind::Array(&plain(&[always(I32), always(Kind::Text), always(I32), always(Kind::Text)]));

impl Call for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Answer = ApiVersionsResponse;
    const SHAPE: Shape = Shape {
        flexible: 3,
        body: Struct {
            fields: &[
                always(I16),
                always(Kind::Array(&plain(&[always(I16), always(I16), always(I16)]))),
                since(1, I32),
            ],
            tags: &[
                (0, Kind::Array(&plain(&[always(Kind::Text), always(I16), always(I16)]))),
                (1, I64),
                (2, Kind::Array(&plain(&[always(Kind::Text), always(I16), always(I16)]))),
                (3, I8),
            ],
        },
    };
}

impl Call for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    type Answer = MetadataResponse;
    const SHAPE: Shape = Shape {
        flexible: 9,
        body: Struct {
            fields: &[
                since(3, I32),
                always(Kind::Array(&plain(&[always(I32), always(Kind::Text), always(I32), since(1, Kind::Text)]))),
                since(2, Kind::Text),
                since(1, I32),
                always(Kind::Array(&plain(&[
                    always(I16),
                    always(Kind::Text),
                    since(10, UUID),
                    since(1, I8),
                    always(Kind::Array(&plain(&[
                        always(I16),
                        always(I32),
                        always(I32),
                        since(7, I32),
                        always(Kind::Array(&I32)),
                        always(Kind::Array(&I32)),
                        since(5, Kind::Array(&I32)),
                    ]))),
                    since(8, I32),
                ]))),
                between(8, 10, I32),
                since(13, I16),
            ],
            tags: &[],
        },
    };

    fn throttle_ms(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }
}

impl Call for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Answer = ListOffsetsResponse;
    const SHAPE: Shape = Shape {
        flexible: 6,
        body: Struct {
            fields: &[
                since(2, I32),
                always(Kind::Array(&plain(&[
                    always(Kind::Text),
                    always(Kind::Array(&plain(&[always(I32), always(I16), always(I64), always(I64), since(4, I32)]))),
                ]))),
            ],
            tags: &[],
        },
    };

    fn throttle_ms(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }
}

impl Call for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Answer = OffsetForLeaderEpochResponse;
    const SHAPE: Shape = Shape {
        flexible: 4,
        body: Struct {
            fields: &[
                since(2, I32),
                always(Kind::Array(&plain(&[
                    always(Kind::Text),
                    always(Kind::Array(&plain(&[always(I16), always(I32), since(1, I32), always(I64)]))),
                ]))),
            ],
            tags: &[],
        },
    };
}

impl Call for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    type Answer = FetchResponse;
    const SHAPE: Shape = Shape {
        flexible: 12,
        body: Struct {
            fields: &[
                always(I32),
                since(7, I16),
                since(7, I32),
                always(Kind::Array(&plain(&[
                    between(0, 12, Kind::Text),
                    since(13, UUID),
                    always(Kind::Array(&Kind::Struct(Struct {
                        fields: &[
                            always(I32),
                            always(I16),
                            always(I64),
                            always(I64),
                            since(5, I64),
                            always(Kind::Array(&plain(&[always(I64), always(I64)]))),
                            since(11, I32),
                            always(Kind::Bytes),
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

    fn throttle_ms(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }
}

impl Call for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Answer = ProduceResponse;
    const SHAPE: Shape = Shape {
        flexible: 9,
        body: Struct {
            fields: &[
                always(Kind::Array(&plain(&[
                    between(0, 12, Kind::Text),
                    since(13, UUID),
                    always(Kind::Array(&Kind::Struct(Struct {
                        fields: &[
                            always(I32),
                            always(I16),
                            always(I64),
                            always(I64),
                            since(5, I64),
                            since(8, Kind::Array(&plain(&[always(I32), always(Kind::Text)]))),
                            since(8, Kind::Text),
                        ],
                        tags: &[(0, EPOCH_AND_LEADER)],
                    }))),
                ]))),
                always(I32),
            ],
            tags: &[(0, NODES)],
        },
    };

    fn throttle_ms(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }
}

impl Call for DeleteTopicsRequest {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    type Answer = DeleteTopicsResponse;
    const SHAPE: Shape = Shape {
        flexible: 4,
        body: Struct {
            fields: &[
                since(1, I32),
                always(Kind::Array(&plain(&[always(Kind::Text), since(6, UUID), always(I16), since(5, Kind::Text)]))),
            ],
            tags: &[],
        },
    };
}

impl Call for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Answer = InitProducerIdResponse;
    const SHAPE: Shape = Shape {
        flexible: 2,
        body: Struct {
            fields: &[always(I32), always(I16), always(I64), always(I16), since(6, I64), since(6, I16)],
            tags: &[],
        },
    };

    fn throttle_ms(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }
}

impl Call for SaslHandshakeRequest {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    type Answer = SaslHandshakeResponse;
    const SHAPE: Shape = Shape {
        flexible: i16::MAX,
        body: Struct { fields: &[always(I16), always(Kind::Array(&Kind::Text))], tags: &[] },
    };
}

impl Call for SaslAuthenticateRequest {
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    type Answer = SaslAuthenticateResponse;
    const SHAPE: Shape = Shape {
        flexible: 2,
        body: Struct { fields: &[always(I16), always(Kind::Text), always(Kind::Bytes), since(1, I64)], tags: &[] },
    };
}
